-- An account that was well for a whole ramp is as good as any.
UPDATE accounts SET state = 'closed', reason = '', failures = 0, changed_at = now()
WHERE name = $1 AND state = 'ramping' AND ramp_from <= now() - make_interval(secs => $2)
