-- Two Domos, a token each, and one of them is down: it holds up nobody
-- What is for Europe is done, though requests for America were there first: they wait, and go
-- once America answers. Which token is used follows from who asks, by PostgreSQL's user mappings.
-- expect: ^ eu +\| idle +\| +3 \| +0$
-- expect: ^ us +\| [a-z]+ +\| +0 \| +0$
-- expect: ^ bill_eu +\| done +\| +3 \|
-- expect: ^ bill_us +\| queued +\| +3 \| .*[Cc]onnect
-- executes: 3
\getenv domo DOMO_URL
\getenv eu_token DEMO_EU_TOKEN_FILE
\getenv us_token DEMO_US_TOKEN_FILE
CREATE SERVER eu FOREIGN DATA WRAPPER domowf OPTIONS (base_url :'domo');
CREATE SERVER us FOREIGN DATA WRAPPER domowf OPTIONS (base_url 'http://127.0.0.1:1');
CREATE USER MAPPING FOR CURRENT_USER SERVER eu OPTIONS (token_file :'eu_token');
CREATE USER MAPPING FOR CURRENT_USER SERVER us OPTIONS (token_file :'us_token');

INSERT INTO domowf.workflow (name, model_id, version, message_name, server)
VALUES ('bill_eu', '0d3c2b1a-4f5e-4a6b-8c7d-9e0f1a2b3c4d', '1.0.0', 'Start Billing', 'eu'),
       ('bill_us', '1e4d3c2b-5a6f-4b7c-9d8e-0f1a2b3c4d5e', '1.0.0', 'Start Billing', 'us');

SELECT count(domowf_enqueue('bill_us', jsonb_build_object('n', n))) FROM generate_series(1, 3) n;
SELECT count(domowf_enqueue('bill_eu', jsonb_build_object('n', n))) FROM generate_series(1, 3) n;
SELECT count(domowf_wait(id)) AS settled FROM domowf.request WHERE workflow = 'bill_eu';

DO $$
BEGIN
  WHILE EXISTS (SELECT FROM domowf.request WHERE workflow = 'bill_us' AND error IS NULL) LOOP
    PERFORM pg_sleep(0.1);
  END LOOP;
END $$;

SELECT server, state, sent - failed AS done, in_flight FROM domowf.connection
WHERE server IS NOT NULL ORDER BY server;

SELECT workflow, state, count(*), right(min(error), 60) AS error FROM domowf.request
WHERE workflow LIKE 'bill%' GROUP BY workflow, state ORDER BY workflow;
