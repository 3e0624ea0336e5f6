-- What has no place in the declared types is refused, all of it at once
-- An amount that is no number, no buyer and a day before Christ: the INSERT
-- fails, and nothing is enqueued.
-- expect: ERROR:  data does not fit the inputs of workflow "order"
-- expect: Input "amount": found NaN, expected decimal
-- expect: Input "buyer": found null, expected person
-- expect: Input "due": found .*BC.*, expected date
-- expect: ERROR:  data does not fit the inputs of workflow "order"
-- expect: Input "amount": found "3.14", expected decimal
-- expect: Input "colour": found "red"
INSERT INTO orders VALUES (4, 'NaN', NULL, '0044-03-15 BC');

SELECT domowf_enqueue('order', '{"id": 5, "amount": "3.14", "buyer": "481303514", "colour": "red"}');
