import type {
  AccessQuestion,
  CanIAnswer,
  DenialRecord,
  EffectiveAccess,
  EntryRecord,
  WhoCanAnswer,
} from '@mcpctl/contracts'
import type { HttpClient } from './http'

/** A token or session as its owner may see it; never the token itself. Instants are RFC 3339. */
export interface TokenRow {
  id: string
  prefix: string
  type: string
  local: boolean
  scopes: EntryParts[] | null
  note: string | null
  issuedAt: string
  expiresAt: string | null
  lastUsedAt: string | null
  /** The one that asks. */
  current: boolean
}

export type EntryParts = Omit<EntryRecord, 'text'>

/** Whose access is looked at; one's own unless told. */
export interface Whose {
  user?: string
  group?: string
  rbac?: string
}

const root = '/api/v1'

/** Questions about rights. Every method throws `ApiError` or `ConnectionError`. */
export class Authz {
  constructor(private readonly http: HttpClient) {}

  /** Whether somebody may do something, and why. */
  async canI(question: AccessQuestion): Promise<CanIAnswer> {
    const path = `${root}/authz/can-i`
    return (await this.http.request<CanIAnswer>({ method: 'POST', path, body: question })).body
  }

  async whoCan(question: AccessQuestion): Promise<WhoCanAnswer> {
    const path = `${root}/authz/who-can`
    return (await this.http.request<WhoCanAnswer>({ method: 'POST', path, body: question })).body
  }

  async effective(whose: Whose = {}): Promise<EffectiveAccess> {
    return (await this.http.request<EffectiveAccess>({ path: `${root}/authz/effective`, query: { ...whose } })).body
  }

  /** The latest refusals, the newest first. */
  async denials(user?: string): Promise<DenialRecord[]> {
    const path = `${root}/authz/denials`
    return (await this.http.request<{ denials: DenialRecord[] }>({ path, query: { user } })).body.denials
  }

  /** Tokens and sessions that are good. */
  async tokens(user?: string): Promise<TokenRow[]> {
    return (await this.http.request<{ items: TokenRow[] }>({ path: `${root}/tokens`, query: { user } })).body.items
  }
}
