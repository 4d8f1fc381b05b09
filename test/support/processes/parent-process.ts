/**
 * Ends this process when whoever started it is gone: nobody else would. The function that is returned lets go of the
 * parent, so that the process ends by itself when its work does.
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
