import { type AnyCommand, defineCommand } from '../command.js'
import { oneOf } from '../values.js'

const shells = ['bash', 'zsh', 'fish'] as const

interface Input {
  readonly shell: (typeof shells)[number]
}

const completion = defineCommand<Input, { readonly shell: string; readonly script: string }>({
  name: 'completion',
  summary: 'Print a script that completes commands and options with the tab key',
  description:
    'The script has every command of this version and starts no program when the key is pressed. Print it again after an update.',
  arguments: [{ name: 'shell', description: 'bash, zsh or fish', parse: oneOf(...shells) }],
  examples: [
    { command: 'completion bash >> ~/.bashrc', says: 'bash' },
    { command: 'completion zsh > "${fpath[1]}/_tenants2fast"', says: 'zsh' },
    { command: 'completion fish > ~/.config/fish/completions/tenants2fast.fish', says: 'fish' },
  ],
  json: { shell: 'string', script: 'string' },
  async run(context, { shell }) {
    const places = await context.places()
    switch (shell) {
      case 'bash':
        return { shell, script: (await import('./bash.js')).bashScript(places) }
      case 'zsh':
        return { shell, script: (await import('./zsh.js')).zshScript(places) }
      case 'fish':
        return { shell, script: (await import('./fish.js')).fishScript(places) }
    }
  },
  render({ script }, page) {
    page.line(script.trimEnd())
  },
})

export const commands: readonly AnyCommand[] = [completion]
