-- What a receiver is shown that asks who calls (mTLS): certificate and key as encrypted JSON; null: none.
alter table subscriptions add column client_certificate bytea;
alter table subscriptions add column client_certificate_key_id text;
