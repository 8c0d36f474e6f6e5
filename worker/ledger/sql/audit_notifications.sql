-- Of the notifications of events that arrived between two moments, those that something is wrong with.
WITH look AS (
    SELECT n.id, n.shown_at, count(*) OVER (PARTITION BY n.event_key, n.person_id, n.route) AS copies,
           d.deliveries, d.inbox_sent
    FROM events e
    JOIN notifications n ON n.event_key = e.key
    LEFT JOIN LATERAL (SELECT count(*) AS deliveries, bool_or(d.channel = 'inbox' AND d.state = 'sent') AS inbox_sent
                       FROM deliveries d
                       WHERE d.event_key = n.event_key AND d.person_id = n.person_id AND d.notification_id = n.id) d
        ON true
    WHERE e.received_at > $1 AND e.received_at <= $2
), broken AS (
    SELECT id, array_remove(ARRAY[
        CASE WHEN deliveries = 0 THEN 'notification_ends|it has neither a delivery nor a skip' END,
        CASE WHEN copies > 1 THEN 'told_once|its person has it ' || copies || ' times from one route' END,
        CASE WHEN inbox_sent AND shown_at IS NULL THEN 'inbox_shows|its inbox delivery is sent, and the inbox lacks it' END,
        CASE WHEN shown_at IS NOT NULL AND inbox_sent IS NOT TRUE
             THEN 'inbox_shows|the inbox shows it, and no inbox delivery is sent' END], NULL) AS flaws
    FROM look
    WHERE deliveries = 0 OR copies > 1 OR (shown_at IS NOT NULL) <> coalesce(inbox_sent, false)
)
SELECT looked.at AS looked_at, broken.id, broken.flaws
FROM (SELECT count(*) AS at FROM look) AS looked LEFT JOIN broken ON true
