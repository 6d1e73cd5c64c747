// eslint-disable-next-line no-unused-vars
module.exports = (err, req, res, next) => {
  console.error(err.message);
  res.status(err.status || 500).json({ message: err.message || 'Internal Server Error' });
};
