-- Each account this process sends by has its row. What another knows of it stays. Accounts of the same channels that
-- nobody is told to use any more are gone: one that rested would rest for ever.
WITH gone AS (
    DELETE FROM accounts
    WHERE name <> ALL($1::text[]) AND split_part(name, ':', 1) IN (SELECT split_part(n, ':', 1) FROM unnest($1::text[]) n)
)
INSERT INTO accounts AS a (name, provider)
SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (name) DO UPDATE SET provider = excluded.provider WHERE a.provider <> excluded.provider
