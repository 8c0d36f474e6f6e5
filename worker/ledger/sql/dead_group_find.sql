-- Groups by the beginning of their fingerprint: the first and the last of them.
SELECT min(fingerprint) AS first, max(fingerprint) AS last
FROM dead_letters WHERE fingerprint BETWEEN $1::text AND $1::text || 'g'
