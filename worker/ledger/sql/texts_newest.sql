-- The newest edition; 0 where nothing was ever published.
SELECT coalesce(max(id), 0) AS edition FROM templates
