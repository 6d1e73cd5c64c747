// The terminal of the original documents, as it stands there; only the import of the hook is another.
// filepath: frontend/components/PreviewTerminal.tsx - NEW FILE

import { usePreviewLogs, PreviewLog } from '@preview/react'
import { useEffect, useRef } from 'react'

interface PreviewTerminalProps {
  generationId: string
  className?: string
}

export function PreviewTerminal({ generationId, className = '' }: PreviewTerminalProps) {
  const { logs, isConnected } = usePreviewLogs(generationId)
  const terminalRef = useRef<HTMLDivElement>(null)

  // Auto-scroll on new logs
  useEffect(() => {
    if (terminalRef.current) {
      terminalRef.current.scrollTop = terminalRef.current.scrollHeight
    }
  }, [logs])

  const getLevelColor = (level: string): string => {
    switch (level) {
      case 'ERROR':
        return 'text-red-400'
      case 'WARN':
        return 'text-yellow-400'
      case 'INFO':
        return 'text-green-400'
      case 'DEBUG':
        return 'text-gray-400'
      default:
        return 'text-white'
    }
  }

  return (
    <div className={`bg-gray-900 rounded-lg font-mono text-sm ${className}`}>
      {/* Header */}
      <div className="bg-gray-800 px-4 py-2 flex justify-between items-center rounded-t-lg">
        <div className="flex items-center gap-2">
          <div
            className={`w-2 h-2 rounded-full ${
              isConnected ? 'bg-green-400' : 'bg-red-400'
            }`}
          />
          <span className="text-gray-300">
            {isConnected ? 'Live' : 'Disconnected'}
          </span>
        </div>
        <span className="text-gray-500 text-xs">{logs.length} lines</span>
      </div>

      {/* Terminal */}
      <div
        ref={terminalRef}
        className="h-64 p-4 overflow-y-auto bg-gray-950 text-white rounded-b-lg space-y-0"
      >
        {logs.length === 0 && (
          <div className="text-gray-500 italic">Waiting for logs...</div>
        )}

        {logs.map((log, idx) => (
          <div
            key={idx}
            className={`font-mono text-xs leading-tight ${getLevelColor(
              log.level
            )}`}
          >
            <span className="text-gray-600">[{log.timestamp.split('T')[1]}]</span>
            <span className="ml-2">{log.message}</span>
          </div>
        ))}
      </div>
    </div>
  )
}
