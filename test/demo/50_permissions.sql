-- A workflow's permissions are changed
-- The rows are the entries that Domo accepted.
-- expect: ^ *123456 \| USER .*\| \{ADMIN,SHARE,EXECUTE\}
-- expect: ^ *98765 .*\| GROUP .*\| \{READ\}
-- executes: 1
SELECT *
FROM domowf_set_permissions('7f8b1c55-0e8e-4c1c-9d6b-0b1f6a1c2d3e', '[
  {"id": "123456", "type": "USER", "name": "John Doe",
   "permissions": ["ADMIN", "SHARE", "EXECUTE"]},
  {"id": "98765", "type": "GROUP", "name": "Auditors",
   "permissions": ["READ"]}]');
