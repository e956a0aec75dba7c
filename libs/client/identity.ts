import type { HttpClient } from './http'

/** Somebody has shown who he is. */
export interface NewSession {
  token: string
  /** RFC 3339. */
  expiresAt: string
  user: string
}

export interface TokenWish {
  /** Oneself unless told. */
  user?: string
  /** `12h`, `30d`; 30 days unless told. */
  ttl?: string
  /** `view:servers`, `op:logs:servers/github`. */
  scopes?: string[]
  note?: string
}

/** A new token, shown this once. */
export interface NewToken {
  id: string
  token: string
  user: string
  prefix: string
  type: string
  /** RFC 3339. */
  expiresAt: string
}

export interface WhoAmI {
  user: { name: string; uid: string; type: string }
  groups: string[]
  impersonator?: { name: string; uid: string }
  token?: { id: string; prefix: string; type: string; expiresAt: string | null; local: boolean }
}

/** A one-time code by which a user sets his password. */
export interface PasswordCode {
  user: string
  code: string
  /** RFC 3339. */
  expiresAt: string
}

const root = '/api/v1'

/** Who one is, and what one shows for it. Every method throws `ApiError` or `ConnectionError`. */
export class IdentityClient {
  constructor(private readonly http: HttpClient) {}

  async login(user: string, password: string): Promise<NewSession> {
    return this.post('/login', { user, password })
  }

  /** Sets the password with a one-time code, and logs in. */
  async setUp(user: string, code: string, password: string): Promise<NewSession> {
    return this.post('/setup', { user, code, password })
  }

  /** Ends the session of the token, or with `all` every session of its user. Returns how many ended; an API token is none. */
  async logout(options: { all?: boolean } = {}): Promise<number> {
    const query = { all: options.all ? '1' : undefined }
    const { body } = await this.http.request<{ ended: number }>({ method: 'POST', path: `${root}/logout`, query })
    return body.ended
  }

  async whoAmI(): Promise<WhoAmI> {
    return (await this.http.request<WhoAmI>({ path: `${root}/whoami` })).body
  }

  async issueToken(wish: TokenWish): Promise<NewToken> {
    return this.post('/tokens', wish)
  }

  async revokeToken(id: string): Promise<void> {
    await this.http.request({ method: 'DELETE', path: `${root}/tokens/${encodeURIComponent(id)}` })
  }

  /** Sets one's own password. */
  async changePassword(
    user: string,
    change: { current?: string; password: string; endSessions: boolean },
  ): Promise<void> {
    await this.post(`/users/${encodeURIComponent(user)}/password`, change)
  }

  /** A code for somebody else, whose password nobody but he chooses. */
  async resetPassword(user: string): Promise<PasswordCode> {
    return this.post(`/users/${encodeURIComponent(user)}/password`, {})
  }

  private async post<T>(path: string, body: object): Promise<T> {
    return (await this.http.request<T>({ method: 'POST', path: root + path, body })).body
  }
}
