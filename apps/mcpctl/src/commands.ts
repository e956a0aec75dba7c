import type { CommandFile } from './command-file'

export interface CommandEntry {
  name: string
  summary: string
  group: string
  load: () => Promise<CommandFile>
}

const basic = 'Basic commands:'
const look = 'Looking and waiting:'
const identity = 'Who you are:'
const daemon = 'The local daemon:'
const other = 'Other commands:'

/** Every command. Its file is loaded only when it runs, which is what keeps the start short. */
export const commandEntries: readonly CommandEntry[] = [
  {
    name: 'apply',
    summary: 'Create or change objects from a manifest, all or nothing',
    group: basic,
    load: () => import('./commands/apply'),
  },
  {
    name: 'create',
    summary: 'Create an object from flags or from a file',
    group: basic,
    load: () => import('./commands/create'),
  },
  { name: 'get', summary: 'List one or many objects', group: basic, load: () => import('./commands/get') },
  {
    name: 'describe',
    summary: 'Show one object in detail',
    group: basic,
    load: () => import('./commands/describe'),
  },
  {
    name: 'edit',
    summary: 'Change an object in your editor',
    group: basic,
    load: () => import('./commands/edit'),
  },
  {
    name: 'delete',
    summary: 'Delete objects by name, label or manifest',
    group: basic,
    load: () => import('./commands/delete'),
  },
  {
    name: 'scale',
    summary: 'Set how many copies of a server run',
    group: basic,
    load: () => import('./commands/scale'),
  },
  { name: 'logs', summary: "Print what a server's instances log", group: look, load: () => import('./commands/logs') },
  { name: 'wait', summary: 'Wait until a condition holds', group: look, load: () => import('./commands/wait') },
  { name: 'status', summary: 'Show how the daemon is', group: look, load: () => import('./commands/status') },
  {
    name: 'auth',
    summary: 'Ask who may do what, and why',
    group: look,
    load: () => import('./commands/auth'),
  },
  {
    name: 'login',
    summary: 'Log in to a daemon and keep the session',
    group: identity,
    load: () => import('./commands/login'),
  },
  { name: 'logout', summary: 'End the session', group: identity, load: () => import('./commands/logout') },
  { name: 'whoami', summary: 'Show who you are', group: identity, load: () => import('./commands/whoami') },
  {
    name: 'passwd',
    summary: "Change your password, or issue a code for somebody else's",
    group: identity,
    load: () => import('./commands/passwd'),
  },
  { name: 'up', summary: 'Find or start the local daemon', group: daemon, load: () => import('./commands/up') },
  { name: 'down', summary: 'Stop the local daemon', group: daemon, load: () => import('./commands/down') },
  {
    name: 'admin',
    summary: 'Verify and rebuild read models, deal with parked events',
    group: daemon,
    load: () => import('./commands/admin'),
  },
  {
    name: 'api-resources',
    summary: 'List the kinds and their words',
    group: other,
    load: () => import('./commands/api-resources'),
  },
  {
    name: 'config',
    summary: 'Show contexts, choose one, set up an AI client',
    group: other,
    load: () => import('./commands/config'),
  },
  {
    name: 'version',
    summary: "Print the client's and the daemon's version",
    group: other,
    load: () => import('./commands/version'),
  },
  {
    name: 'options',
    summary: 'List the flags that every command takes',
    group: other,
    load: () => import('./commands/options'),
  },
  { name: 'help', summary: 'Help about a command or a topic', group: other, load: () => import('./commands/help') },
]
