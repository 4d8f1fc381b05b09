/** Every benchmark by name; loaded when asked for. */
export const benchmarks = {
  check: async () => (await import('./check/check.js')).run(),
  http: async () => (await import('./http/http.js')).run(),
  query: async () => (await import('./query/query.js')).run(),
  churn: async () => (await import('./churn/churn.js')).run(),
  noisy: async () => (await import('./noisy/noisy.js')).run(),
  scale: async () => (await import('./scale/scale.js')).run(),
  connect: async () => (await import('./connect.js')).run(),
  simulation: async () => (await import('./simulation/simulation.js')).run(),
  member: async () => (await import('./member.js')).run(),
  provision: async () => (await import('./provision.js')).run(),
  fleet: async () => (await import('./migrations/migrations.js')).run(),
  revoke: async () => (await import('./revoke/revoke.js')).run(),
  cold: async () => (await import('./cold/cold.js')).run(),
  backup: async () => (await import('./backup.js')).run(),
  'account-timing': async () => (await import('./account-timing.js')).run(),
  'redis-down': async () => (await import('./redis-down/redis-down.js')).run(),
}
