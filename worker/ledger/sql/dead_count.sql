-- How many letters wait for a human.
SELECT count(*) AS letters FROM dead_letters WHERE state = 'open'
