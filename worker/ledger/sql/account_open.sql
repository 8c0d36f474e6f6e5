-- An account in trouble rests: as long as its provider said ($3 seconds), else longer with each failure, with full
-- jitter, up to 15 s: a try is one delivery of all workers, and while nobody tries, a provider that is back is not used.
-- Of many workers that see the same trouble the first opens it; a provider's word may prolong.
-- It rests since it was opened, however often that is prolonged.
UPDATE accounts
SET state = 'open',
    reason = $2,
    failures = failures + CASE WHEN $3::float8 IS NULL THEN 1 ELSE 0 END,
    open_until = now() + make_interval(secs => coalesce(
        $3::float8, greatest(0.5, random() * least(15, 2.0 ^ least(failures + 1, 10))))),
    changed_at = CASE WHEN state IN ('closed', 'ramping') THEN now() ELSE changed_at END
WHERE name = $1 AND (state IN ('closed', 'ramping') OR open_until < now() + make_interval(secs => $3::float8))
