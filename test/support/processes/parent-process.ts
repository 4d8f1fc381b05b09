/**
 * Ends this process when its parent has ended: nothing else would. The returned function disconnects from the parent, so
 * that the process ends by itself when its work is done.
 */
export function endWithParent(): () => void {
  const orphaned = () => process.exit(1)
  process.once('disconnect', orphaned)
  if (!process.connected) orphaned()
  return () => {
    process.removeListener('disconnect', orphaned)
    process.disconnect()
  }
}
