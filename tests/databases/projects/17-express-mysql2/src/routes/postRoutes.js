import { Router } from 'express';
import {
  addComment,
  createPost,
  deletePost,
  getPost,
  getPosts,
  updatePost,
} from '../controllers/postController.js';

const router = Router();

router.route('/').get(getPosts).post(createPost);
router.route('/:id').get(getPost).patch(updatePost).delete(deletePost);
router.post('/:id/comments', addComment);

export default router;
