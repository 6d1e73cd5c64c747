/** List the songs of an album. */
exports.songs = (req, res) => res.json([])
