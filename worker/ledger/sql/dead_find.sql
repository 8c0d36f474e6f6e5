-- Letters by the beginning of their id.
SELECT * FROM dead_letters
WHERE id BETWEEN rpad(replace($1, '-', ''), 32, '0')::uuid AND rpad(replace($1, '-', ''), 32, 'f')::uuid
LIMIT 2
