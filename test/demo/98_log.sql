-- The log holds every settled request and every call that succeeded
-- expect: ^ call +\| cancel
-- expect: ^ request +\| start +\| approval +\| done
SELECT origin, operation, workflow, outcome, count(*), count(instance_id) AS instances
FROM domowf.log
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3;
