import React, { useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'

function App() {
  const [status, setStatus] = useState('...')
  useEffect(() => {
    fetch('/api/health').then(r => r.json()).then(d => setStatus(d.status))
  }, [])
  return <h1>HabitFlow: {status}</h1>
}

createRoot(document.getElementById('root')).render(<App />)
