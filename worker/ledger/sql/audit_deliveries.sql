-- Of the deliveries of events that arrived between two moments, those that something is wrong with. Two minutes are
-- given to what was under way when its time ran out: a minute of lease, and as much to write it down.
WITH look AS (
    SELECT d.id, d.event_key, d.person_id, d.state, d.reason, d.attempt, d.attempt_limit, d.on_unsure, d.resends,
           d.expires_at, d.finished_at, n.id AS parent, n.event_key AS parent_event, n.person_id AS parent_person,
           a.suppressed_at, p.removed_at, t.tried, t.last, t.unsure, t.doubted, l.kept, l.replayed,
           count(*) OVER (PARTITION BY d.notification_id, d.channel, d.address) AS copies
    FROM events e
    JOIN deliveries d ON d.event_key = e.key
    LEFT JOIN notifications n ON n.id = d.notification_id
    LEFT JOIN addresses a ON a.person_id = d.person_id AND a.channel = d.channel AND a.address = d.address
    LEFT JOIN people p ON p.id = d.person_id
    LEFT JOIN LATERAL (
        SELECT count(DISTINCT t.attempt) FILTER (WHERE t.attempt BETWEEN 1 AND d.attempt) AS tried,
               max(t.attempt) AS last, count(*) FILTER (WHERE t.outcome = 'unsure') AS unsure,
               count(DISTINCT t.attempt) FILTER (WHERE t.outcome = 'unsure' AND t.attempt < d.attempt) AS doubted
        FROM attempts t WHERE t.delivery_id = d.id) t ON true
    LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE l.state <> 'replayed') AS kept, count(*) FILTER (WHERE l.state = 'replayed') AS replayed
        FROM dead_letters l WHERE l.kind = 'delivery' AND l.delivery_id = d.id) l ON true
    WHERE e.received_at > $1 AND e.received_at <= $2
), judged AS (
    SELECT id, array_remove(ARRAY[
        CASE WHEN parent IS NULL THEN 'rows_agree|its notification is not there'
             WHEN parent_event <> event_key OR parent_person <> person_id
             THEN 'rows_agree|its notification is of another event or person' END,
        CASE WHEN copies > 1 THEN 'told_once|one address has it ' || copies || ' times' END,
        CASE WHEN attempt > attempt_limit
             THEN 'attempt_limit|attempt ' || attempt || ' of at most ' || attempt_limit END,
        CASE WHEN reason = '' AND state IN ('skipped', 'refused', 'expired', 'dead', 'unsure', 'cancelled')
             THEN 'has_reason|it is ' || state || ' without a reason' END,
        CASE WHEN tried < attempt - CASE WHEN state IN ('sent', 'leased') THEN 1 ELSE 0 END
             THEN 'attempts_kept|' || tried || ' attempts are written down of the ' || attempt || ' counted'
             WHEN last > attempt
             THEN 'attempts_kept|attempt ' || last || ' is written down, and ' || attempt || ' counted' END,
        CASE WHEN resends < 0 OR resends > unsure
             THEN 'resends_counted|' || resends || ' resends after ' || unsure || ' unsure attempts'
             WHEN resends + replayed < doubted
             THEN 'resends_counted|tried again after ' || doubted || ' unsure attempts, and ' || resends || ' counted'
             WHEN resends > 0 AND on_unsure = 'hold' AND NOT EXISTS (
                 SELECT FROM audit u WHERE u.subject = judged.id::text AND u.action = 'delivery.resent')
             THEN 'resends_counted|sent again under the policy hold, and nobody said so' END,
        CASE WHEN is_sent AND finished_at > expires_at + interval '2 min'
             THEN 'not_too_late|sent ' || finished_at || ', and expired ' || expires_at END,
        CASE WHEN is_sent AND finished_at > suppressed_at + interval '2 min'
             THEN 'not_suppressed|sent ' || finished_at || ', and the address was switched off ' || suppressed_at END,
        CASE WHEN is_sent AND finished_at > removed_at + interval '2 min'
             THEN 'not_suppressed|sent ' || finished_at || ', and the person was removed ' || removed_at END,
        CASE WHEN state = 'dead' AND kept = 0 THEN 'dead_has_letter|it is dead, and no letter says so' END
        ], NULL) AS flaws
    FROM (SELECT *, state = 'sent' AND reason <> 'said_by_operator' AS is_sent FROM look) AS judged
), broken AS (
    SELECT id, flaws FROM judged WHERE cardinality(flaws) > 0
)
SELECT looked.at AS looked_at, broken.id, broken.flaws
FROM (SELECT count(*) AS at FROM look) AS looked LEFT JOIN broken ON true
