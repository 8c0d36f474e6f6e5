-- The newest version of each text that was ever published.
SELECT DISTINCT ON (event_type, audience, locale, channel)
       id, event_type, audience, locale, channel, version, source, author, note, published_at
FROM templates
ORDER BY event_type, audience, locale, channel, version DESC
