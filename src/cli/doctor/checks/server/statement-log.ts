import { type Check, combine, type Finding, warning } from '../../check.js'

/** The server's log does not collect what statements carry. */
export const statementLog: Check = {
  name: 'statement-log',
  async run(context) {
    const { client } = await context.server()
    const { rows } = await client.query<{ statements: string; durationMs: number; parameterBytes: number }>(
      `select current_setting('log_statement') as statements,
         (select setting::int from pg_settings where name = 'log_min_duration_statement') as "durationMs",
         (select setting::int from pg_settings where name = 'log_parameter_max_length') as "parameterBytes"`,
    )
    const { statements = 'none', durationMs = -1, parameterBytes = -1 } = rows[0] ?? {}
    const findings: Finding[] = []
    if (statements === 'ddl') {
      findings.push(
        warning(
          'log_statement = ddl: SCRAM verifiers of tenants’ roles go to the server’s log',
          'They let nobody log in, but read access to the log should be as narrow as to the data; or set it to none',
        ),
      )
    }
    if (statements === 'all' || statements === 'mod' || durationMs === 0) {
      const which = durationMs === 0 ? 'log_min_duration_statement = 0' : `log_statement = ${statements}`
      findings.push(
        warning(
          `${which}: ${parameterBytes === 0 ? 'statements' : 'statements and the values of their parameters'} of all tenants go to the server’s log`,
          'Set log_statement to none and log_min_duration_statement to what is slow (250ms), log_parameter_max_length to 0',
        ),
      )
    }
    return combine(findings, `log_statement = ${statements}`)
  },
}
