-- One statement, one start: 100 rows as lists
-- A statement trigger with a transition table sends its rows as lists, in
-- their order.
-- expect: ^ +1 +\| +100 +\| +100 +\| +1 +\| +100 *$
-- executes: 1
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('import', '5c0f9d3a-7c2b-4a39-8a50-3f0d0e6a9b21', '1.0.0', 'Start Import');
INSERT INTO domowf.workflow_input (workflow, name, type, is_list)
VALUES ('import', 'ids', 'number', true), ('import', 'labels', 'text', true);

CREATE TABLE imported (id int, label text);
CREATE TRIGGER start_import AFTER INSERT ON imported
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
  EXECUTE FUNCTION domowf_trigger('import', 'ids=id', 'labels=label');

INSERT INTO imported SELECT n, 'row ' || n FROM generate_series(1, 100) n;

SELECT count(domowf_wait(id)) AS starts FROM domowf.request WHERE workflow = 'import';
SELECT count(*) AS starts, max(jsonb_array_length(request #> '{data,ids}')) AS ids,
  max(jsonb_array_length(request #> '{data,labels}')) AS labels,
  max((request #>> '{data,ids,0}')::int) AS first,
  max((request #>> '{data,ids,99}')::int) AS last
FROM domowf.log WHERE workflow = 'import';
