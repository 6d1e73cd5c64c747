require('./bootstrap').start()
