-- Note what somebody did.
INSERT INTO audit (actor, action, subject, detail) VALUES ($1, $2, $3, $4)
