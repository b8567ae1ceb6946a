-- Roles that the PostgreSQL sample needs; server-wide, so loaded once by an administrator. Can be loaded again.
SET client_min_messages = error;
DO $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT * FROM (VALUES
    ('sample_owner', 'NOLOGIN'), ('sample_reader', 'LOGIN'), ('sample_writer', 'LOGIN'), ('sample_group', 'NOLOGIN'),
    ('Sample "odd" role', 'NOLOGIN')) AS wanted (name, options)
  LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r.name) THEN
      EXECUTE format('CREATE ROLE %I %s', r.name, r.options);
    END IF;
  END LOOP;
END $$;
GRANT sample_group TO sample_reader;
