-- What a probe found: the account is well and is used again, little by little; or it rests on, as in account_open;
-- or ($3 'untried') it was not tried after all, and anybody may.
UPDATE accounts
SET state = CASE $3 WHEN 'well' THEN 'ramping' ELSE 'open' END,
    reason = CASE $3 WHEN 'ill' THEN $4 ELSE reason END,
    failures = failures + CASE WHEN $3 = 'ill' AND $5::float8 IS NULL THEN 1 ELSE 0 END,
    open_until = CASE $3 WHEN 'ill' THEN now() + make_interval(secs => coalesce(
        $5::float8, greatest(0.5, random() * least(15, 2.0 ^ least(failures + 1, 10))))) ELSE now() END,
    ramp_from = CASE $3 WHEN 'well' THEN now() END,
    next_at = now(),
    changed_at = CASE $3 WHEN 'well' THEN now() ELSE changed_at END
WHERE name = $1 AND state = 'probing' AND token = $2
