-- Every version of one text, newest first.
SELECT id, event_type, audience, locale, channel, version, source, author, note, published_at
FROM templates
WHERE event_type = $1 AND audience = $2 AND locale = $3 AND channel = $4
ORDER BY version DESC
