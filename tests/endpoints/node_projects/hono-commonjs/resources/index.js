module.exports = {
  tasks: require('./tasks'),
  labels: require('./labels')
}
