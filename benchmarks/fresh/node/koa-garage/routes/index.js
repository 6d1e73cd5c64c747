module.exports = { cars: require('./cars'), repairs: require('./repairs')() }
