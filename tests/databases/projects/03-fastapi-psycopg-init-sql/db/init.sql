CREATE TABLE IF NOT EXISTS books (
    id SERIAL PRIMARY KEY,
    title VARCHAR(200) NOT NULL,
    author VARCHAR(120) NOT NULL,
    isbn CHAR(13) UNIQUE NOT NULL
);

CREATE TABLE IF NOT EXISTS loans (
    id SERIAL PRIMARY KEY,
    book_id INTEGER NOT NULL REFERENCES books (id) ON DELETE CASCADE,
    reader VARCHAR(120) NOT NULL,
    since TIMESTAMPTZ NOT NULL DEFAULT now(),
    returned BOOLEAN NOT NULL DEFAULT FALSE
);

CREATE OR REPLACE FUNCTION open_loans(wanted INTEGER) RETURNS BIGINT AS $$
    SELECT count(*) FROM loans WHERE book_id = wanted AND NOT returned;
$$ LANGUAGE sql;

INSERT INTO books (title, author, isbn) VALUES
    ('The Left Hand of Darkness', 'Ursula K. Le Guin', '9780441478125'),
    ('Kindred', 'Octavia E. Butler', '9780807083697')
ON CONFLICT (isbn) DO NOTHING;
