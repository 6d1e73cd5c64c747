import express, { type Application } from 'express'
import type { Controller } from './controller.js'

class App {
  public app: Application

  constructor(controllers: Controller[], private readonly port: number) {
    this.app = express()
    this.initializeMiddlewares()
    this.initializeControllers(controllers)
  }

  private initializeMiddlewares(): void {
    this.app.use(express.json())
  }

  private initializeControllers(controllers: Controller[]): void {
    controllers.forEach((controller) => {
      this.app.use('/api', controller.router)
    })
    this.app.get('/api-status', (_req, res) => {
      res.json({ controllers: controllers.length })
    })
  }

  public listen(): void {
    this.app.listen(this.port)
  }
}

export default App
