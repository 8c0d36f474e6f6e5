-- Each account this process sends by has its row. What another knows of it stays.
INSERT INTO accounts AS a (name, provider)
SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (name) DO UPDATE SET provider = excluded.provider WHERE a.provider <> excluded.provider
