-- The accounts' side of a small shop, for PostgreSQL. The same rows each time.
CREATE DATABASE billing;
\connect billing

CREATE SCHEMA ledger;
COMMENT ON SCHEMA ledger IS 'What was billed and what was paid';
SET search_path = ledger;

CREATE TYPE invoice_state AS ENUM ('draft', 'sent', 'paid', 'written off');
CREATE DOMAIN amount AS numeric(12, 2) CHECK (VALUE >= 0);

CREATE TABLE account (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  tax_number text UNIQUE,
  details jsonb NOT NULL DEFAULT '{}'
);
INSERT INTO account (name, tax_number, details)
  SELECT (ARRAY['Café São Jorge', 'Kaffeehaus Müller', 'O''Neill & Sons', '喫茶 桜'])[1 + n % 4] || ' ' || n,
         lpad(n::text, 9, '0'), jsonb_build_object('terms', 14 + n % 3 * 8, 'tags', jsonb_build_array('b2b', n % 5))
  FROM generate_series(1, 500) AS n;

CREATE TABLE invoice (
  number bigint NOT NULL,
  account_id integer NOT NULL REFERENCES account,
  issued date NOT NULL,
  state invoice_state NOT NULL,
  total amount NOT NULL,
  lines text[] NOT NULL,
  PRIMARY KEY (number, issued)
) PARTITION BY RANGE (issued);
CREATE TABLE invoice_2025 PARTITION OF invoice FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE invoice_2026 PARTITION OF invoice FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO invoice
  SELECT n, 1 + n * 17 % 500, date '2025-01-01' + n % 720, (enum_range(NULL::invoice_state))[1 + n % 4],
         n % 977 + 0.45, ARRAY['beans', 'filter ' || n % 9]
  FROM generate_series(1, 20000) AS n;
CREATE INDEX invoice_open ON invoice (account_id) WHERE state = 'sent';

CREATE TABLE payment (
  id uuid PRIMARY KEY,
  number bigint NOT NULL,
  issued date NOT NULL,
  paid_at timestamptz NOT NULL,
  total amount NOT NULL,
  slip bytea,
  FOREIGN KEY (number, issued) REFERENCES invoice
);
INSERT INTO payment
  SELECT md5(number::text)::uuid, number, issued, issued + interval '9 days 03:04:05.678', total, sha256(number::text::bytea)
  FROM invoice WHERE state = 'paid';

CREATE FUNCTION owed(account integer) RETURNS numeric LANGUAGE sql STABLE AS
  $$ SELECT coalesce(sum(total), 0) FROM ledger.invoice WHERE account_id = account AND state = 'sent' $$;
CREATE FUNCTION paid() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE ledger.invoice SET state = 'paid' WHERE number = NEW.number AND issued = NEW.issued;
  RETURN NEW;
END $$;
CREATE TRIGGER payment_settles AFTER INSERT ON payment FOR EACH ROW EXECUTE FUNCTION paid();

CREATE MATERIALIZED VIEW turnover AS
  SELECT date_trunc('month', issued)::date AS month, count(*) AS invoices, sum(total) AS total
  FROM invoice GROUP BY 1;

ALTER TABLE account ENABLE ROW LEVEL SECURITY;
CREATE POLICY no_secrets ON account FOR SELECT USING (NOT details ? 'secret');
