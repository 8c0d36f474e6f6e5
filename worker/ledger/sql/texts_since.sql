-- What was published after an edition, oldest first.
SELECT id, event_type, audience, locale, channel, version, source FROM templates WHERE id > $1 ORDER BY id
