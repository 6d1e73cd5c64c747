import pool from '../config/db.js';

const findPost = async (id) => {
  const [rows] = await pool.execute('SELECT * FROM posts WHERE id = ?', [id]);
  return rows[0];
};

export const getPosts = async (req, res, next) => {
  try {
    const [rows] = await pool.query(
      `SELECT p.*, COUNT(c.id) AS comment_count FROM posts p
       LEFT JOIN comments c ON c.post_id = p.id GROUP BY p.id ORDER BY p.id`,
    );
    res.json(rows);
  } catch (error) {
    next(error);
  }
};

export const getPost = async (req, res, next) => {
  try {
    const post = await findPost(req.params.id);
    if (!post) return res.status(404).json({ message: 'Post not found' });
    const [comments] = await pool.execute('SELECT * FROM comments WHERE post_id = ?', [post.id]);
    res.json({ ...post, comments });
  } catch (error) {
    next(error);
  }
};

export const createPost = async (req, res, next) => {
  try {
    const { title, content = '' } = req.body;
    if (!title) return res.status(400).json({ message: 'Title is required' });
    const [result] = await pool.execute('INSERT INTO posts (title, content) VALUES (?, ?)', [title, content]);
    res.status(201).json(await findPost(result.insertId));
  } catch (error) {
    next(error);
  }
};

export const updatePost = async (req, res, next) => {
  try {
    const post = await findPost(req.params.id);
    if (!post) return res.status(404).json({ message: 'Post not found' });
    const { title, content, status } = { ...post, ...req.body };
    await pool.execute('UPDATE posts SET title = ?, content = ?, status = ? WHERE id = ?', [
      title,
      content,
      status,
      post.id,
    ]);
    res.json(await findPost(post.id));
  } catch (error) {
    next(error);
  }
};

export const deletePost = async (req, res, next) => {
  try {
    const [result] = await pool.execute('DELETE FROM posts WHERE id = ?', [req.params.id]);
    if (!result.affectedRows) return res.status(404).json({ message: 'Post not found' });
    res.status(204).end();
  } catch (error) {
    next(error);
  }
};

export const addComment = async (req, res, next) => {
  const connection = await pool.getConnection();
  try {
    await connection.beginTransaction();
    const { author, body } = req.body;
    await connection.execute('INSERT INTO comments (post_id, author, body) VALUES (?, ?, ?)', [
      req.params.id,
      author,
      body,
    ]);
    await connection.commit();
    res.status(201).json({ message: 'Comment added' });
  } catch (error) {
    await connection.rollback();
    next(error);
  } finally {
    connection.release();
  }
};
