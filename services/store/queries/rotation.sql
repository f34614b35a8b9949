-- What the encryption key's rotation reads and writes: every row that holds a ciphertext.

-- name: stale_secrets
-- Signing secrets that another key encrypts than this one.
select id, key_id, ciphertext from secrets where key_id <> $1 order by id limit $2;

-- name: reseal_secret
-- The same secret under another key, unless it changed meanwhile.
update secrets set key_id = $3, ciphertext = $4 where id = $1 and ciphertext = $2
returning 1;

-- name: stale_headers
-- Static headers that another key encrypts than this one.
select id, headers_key_id as key_id, headers as ciphertext from subscriptions
where headers_key_id <> $1 order by id limit $2;

-- name: reseal_headers
-- The same headers under another key, unless they changed meanwhile.
update subscriptions set headers_key_id = $3, headers = $4 where id = $1 and headers = $2
returning 1;

-- name: stale_certificates
-- Client certificates that another key encrypts than this one; bound to more than the id.
select id || '/client_certificate' as id, client_certificate_key_id as key_id,
    client_certificate as ciphertext
from subscriptions
where client_certificate_key_id <> $1 order by id limit $2;

-- name: reseal_certificate
-- The same certificate under another key, unless it changed meanwhile.
update subscriptions set client_certificate_key_id = $3, client_certificate = $4
where id = split_part($1, '/', 1) and client_certificate = $2
returning 1;

-- name: stale_answers
-- Kept answers that another key encrypts than this one.
select caller || key as id, body_key_id as key_id, body as ciphertext from idempotency
where body_key_id <> $1 order by caller, key limit $2;

-- name: reseal_answer
-- The same answer under another key, unless it changed meanwhile.
update idempotency set body_key_id = $3, body = $4 where caller || key = $1 and body = $2
returning 1;
