-- name: add_audit_entries
-- Keep who changed what.
insert into audit (id, at, actor, address, project_id, action, object_type, object_id, before, after)
select * from unnest(
    $1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::text[], $9::jsonb[], $10::jsonb[]);

-- name: page_audit
-- Who changed what, newest first, below an id.
select id, at, actor, address, project_id, action, object_type, object_id, before, after
from audit
where ($1::text is null or project_id = $1)
  and ($2::text is null or actor = $2)
  and ($3::text is null or action = $3)
  and ($4::text is null or object_type = $4)
  and ($5::text is null or object_id = $5)
  and ($6::timestamptz is null or at >= $6)
  and ($7::timestamptz is null or at < $7)
  and ($8::text is null or id < $8)
order by id desc limit $9;

-- name: expire_audit
-- Forget what was changed too long ago to be asked about.
delete from audit where at < $1;
