import type { AnyCommand, OptionDefinition } from './command.js'

const commonOptions: readonly OptionDefinition[] = [
  { flags: '--json', description: 'write the result as JSON' },
  {
    flags: '--config FILE',
    description: "the application's options (default: tenants2fast.config.ts, .js or .mjs in this directory)",
  },
  { flags: '--verbose', description: 'show warnings and what is done' },
]
const actorOption: OptionDefinition = {
  flags: '--actor EMAIL|ID',
  description: 'the user who does this, by whose rights it is judged (default: the operator, who may do everything)',
}
const yesOption: OptionDefinition = { flags: '--yes', description: 'do not ask' }

/** The options of a command, its own first. */
export function optionsOf(command: AnyCommand): readonly OptionDefinition[] {
  return [
    ...(command.options ?? []),
    ...(command.isDestructive === true ? [yesOption] : []),
    ...(command.isWriting === true ? [actorOption] : []),
    ...commonOptions,
  ]
}
