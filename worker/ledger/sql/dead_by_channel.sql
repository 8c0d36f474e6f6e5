-- Dead letters that wait for a human, by channel; events and jobs have none.
SELECT channel, count(*) AS letters FROM dead_letters WHERE state = 'open' GROUP BY channel
