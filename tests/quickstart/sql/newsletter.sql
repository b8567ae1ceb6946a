-- A second, tiny database of the same server.
CREATE DATABASE newsletter CHARACTER SET utf8mb4;
USE newsletter;
CREATE TABLE issue (number INT PRIMARY KEY, subject VARCHAR(120) NOT NULL, sent_at DATETIME);
INSERT INTO issue VALUES
  (1, 'Fresh beans from São Paulo', '2026-01-05 09:00:00'),
  (2, 'Ten cups that changed our minds ☕', '2026-02-02 09:00:00'),
  (3, 'Decaf: an apology', NULL);
