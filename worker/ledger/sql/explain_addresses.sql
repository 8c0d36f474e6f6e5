-- One person's addresses as known now.
SELECT channel, address, suppressed_reason, suppressed_at FROM addresses WHERE person_id = $1
ORDER BY channel, position, address
