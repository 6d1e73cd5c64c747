const path = require('path');
const Datastore = require('@seald-io/nedb');

module.exports = new Datastore({
  filename: path.join(__dirname, '..', 'data', 'stations.db'),
  autoload: true,
});
