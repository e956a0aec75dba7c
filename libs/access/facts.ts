import { isRole, objectOf, type Entry } from './entry'
import type { GroupEvent, Placed, PlacedEvent, RbacEvent, SubjectRef, UserEvent } from './events'
import {
  canLogIn,
  grantedBy,
  rbacAfter,
  userAfter,
  type Granted,
  type GroupFact,
  type RbacFact,
  type UserFact,
} from './fact'
import { byOrigin, grantsIn, inherited, type Grant, type Via } from './grant'
import { LayeredMap, LayeredSets } from './layered-map'
import { CompiledEntries, Rights } from './rights'

/** Everybody who has shown a valid token is in it. */
export const everybody = 'system:authenticated'

/** Users, groups and bindings as the log tells of them; what everybody may do follows. A fold: equal events give equal facts. */
export class AccessFacts {
  private readonly users: LayeredMap<string, UserFact>
  private readonly groups: LayeredMap<string, GroupFact>
  private readonly rbacs: LayeredMap<string, RbacFact>
  private readonly names: LayeredMap<string, string>
  private readonly rbacsOf: LayeredSets<string, string>
  private readonly groupsOf: LayeredSets<string, string>
  /** Bindings by the objects that their entries name. */
  private readonly rbacsNaming: LayeredSets<string, string>
  private readonly ownGroups = new Set<string>()
  private readonly goneNames: LayeredMap<string, string>
  private readonly compiledBySubject = new Map<string, CompiledEntries>()

  constructor(below?: AccessFacts) {
    this.users = new LayeredMap(below?.users)
    this.groups = new LayeredMap(below?.groups)
    this.rbacs = new LayeredMap(below?.rbacs)
    this.names = new LayeredMap(below?.names)
    this.goneNames = new LayeredMap(below?.goneNames)
    this.rbacsOf = new LayeredSets(below?.rbacsOf)
    this.groupsOf = new LayeredSets(below?.groupsOf)
    this.rbacsNaming = new LayeredSets(below?.rbacsNaming)
  }

  /** The facts after some more events; these stay as they are. */
  after(events: readonly PlacedEvent[]): AccessFacts {
    const facts = new AccessFacts(this)
    for (const event of events) facts.apply(event)
    return facts
  }

  /** Adds an event to these facts. */
  apply(event: PlacedEvent): void {
    if (isUserEvent(event)) this.applyUser(event)
    else if (isGroupEvent(event)) this.applyGroup(event)
    else this.applyRbac(event)
  }

  user(uid: string): UserFact | undefined {
    return this.users.get(uid)
  }

  group(uid: string): GroupFact | undefined {
    return this.groups.get(uid)
  }

  rbac(uid: string): RbacFact | undefined {
    return this.rbacs.get(uid)
  }

  /** The uid that a name stands for. */
  uidOf(kind: 'User' | 'Group' | 'Rbac', name: string): string | undefined {
    return this.names.get(`${kind}/${name}`)
  }

  /** The name of a user, also of one who is gone. */
  userName(uid: string): string {
    return this.users.get(uid)?.name ?? this.goneNames.get(uid) ?? uid
  }

  allUsers(): UserFact[] {
    return [...this.users.entries()].map(([, user]) => user)
  }

  *allRbacs(): IterableIterator<RbacFact> {
    for (const [, rbac] of this.rbacs.entries()) yield rbac
  }

  /** The groups that a user is a member of. */
  groupsOfUser(uid: string): GroupFact[] {
    return [...this.groupsOf.get(uid)].flatMap((group) => this.groups.get(group) ?? [])
  }

  /** Every entry that reaches a user, directly and through groups, `byOrigin`; nothing for one who is disabled or gone. */
  grantsOfUser(uid: string): Grant[] {
    const user = this.users.get(uid)
    if (!user?.enabled) return []
    const subjects: SubjectRef[] = [
      { kind: 'User', uid, name: user.name },
      ...this.groupsOfUser(uid).map((group) => ({ kind: 'Group', uid: group.uid, name: group.name }) as const),
      { kind: 'Group', uid: everybody, name: everybody },
    ]
    return subjects
      .flatMap((subject) => {
        const via = this.viaOf(subject, uid)
        return this.grantsOf(subject.uid).map((grant) => inherited(grant, via))
      })
      .sort(byOrigin)
  }

  /** How a user is a member of a subject; nothing for the user itself. */
  private viaOf({ kind, uid, name }: SubjectRef, user: string): Via | undefined {
    if (kind === 'User') return undefined
    const { at, by } = this.groups.get(uid)?.members.get(user) ?? { at: '', by: '' }
    return { group: name, since: at, by }
  }

  /** The entries of a user or group itself. */
  grantsOf(subject: string): Grant[] {
    return [...this.rbacsOf.get(subject)].flatMap((uid) => {
      const rbac = this.rbacs.get(uid)
      return rbac ? grantsIn(rbac) : []
    })
  }

  /** The entries that name an object exactly, by plural and name, whether it is there or not; without those whose subjects are all gone. */
  grantsNaming(resource: string, name: string): Grant[] {
    return [...this.rbacsNaming.get(`${resource}/${name}`)]
      .flatMap((uid) => this.rbacs.get(uid) ?? [])
      .filter(({ subjects }) => subjects.some((subject) => !this.isDangling(subject)))
      .flatMap(grantsIn)
      .filter(({ entry }) => entry.resource === resource && entry.name === name)
      .sort(byOrigin)
  }

  rightsOfUser(uid: string): Rights {
    if (!this.users.get(uid)?.enabled) return new Rights([])
    const subjects = [uid, ...this.groupsOf.get(uid), everybody]
    return new Rights(subjects.map((subject) => this.compiled(subject)).filter(({ isEmpty }) => !isEmpty))
  }

  /** What a user or group holds itself. */
  private compiled(subject: string): CompiledEntries {
    const known = this.compiledBySubject.get(subject)
    if (known) return known
    const compiled = new CompiledEntries(this.entriesOf(subject))
    this.compiledBySubject.set(subject, compiled)
    return compiled
  }

  /** The entries of a user or group itself, without their origin: the first request of a user may ask for ten thousand. */
  private *entriesOf(subject: string): IterableIterator<Entry> {
    for (const uid of this.rbacsOf.get(subject)) for (const { entry } of this.rbacs.get(uid)?.entries ?? []) yield entry
  }

  isDangling({ kind, uid }: SubjectRef): boolean {
    if (uid === everybody) return false
    return kind === 'User' ? this.users.get(uid) === undefined : this.groups.get(uid) === undefined
  }

  /** Everybody whom a subject stands for: the user, or the group's members that exist. */
  usersOf({ kind, uid }: SubjectRef): UserFact[] {
    if (uid === everybody) return this.allUsers()
    if (kind === 'User') return [this.users.get(uid)].filter((user) => user !== undefined)
    return [...(this.groups.get(uid)?.members.keys() ?? [])].flatMap((member) => this.users.get(member) ?? [])
  }

  /** The same, each with the membership by which it is reached: one for all who became members by the same event. */
  *reachedBy(subject: SubjectRef): IterableIterator<{ user: UserFact; via: Via | undefined }> {
    const { kind, uid, name: group } = subject
    const members = kind === 'Group' ? this.groups.get(uid)?.members : undefined
    if (!members) {
      const via = kind === 'User' ? undefined : { group, since: '', by: '' }
      for (const user of this.usersOf(subject)) yield { user, via }
      return
    }
    const known = new Map<Granted, Via>()
    for (const [member, granted] of members) {
      const user = this.users.get(member)
      if (!user) continue
      const via = known.get(granted) ?? { group, since: granted.at, by: granted.by }
      known.set(granted, via)
      yield { user, via }
    }
  }

  /** Users who can log in at `now` (RFC 3339) and may do everything. */
  fullAdmins(now: string): UserFact[] {
    const candidates = new Map<string, UserFact>()
    for (const rbac of this.allRbacs())
      if (rbac.entries.some(({ entry }) => isRole(entry) && entry.resource === '*'))
        for (const subject of rbac.subjects) for (const user of this.usersOf(subject)) candidates.set(user.uid, user)
    return [...candidates.values()].filter((user) => canLogIn(user, now) && this.rightsOfUser(user.uid).isFullAdmin())
  }

  private applyUser(event: UserEvent & Placed): void {
    const { uid } = event
    if (event.type === 'UserCreated') {
      const { name, type } = event.data
      this.names.set(`User/${name}`, uid)
      this.users.set(uid, { uid, name, type, enabled: true, hasPassword: false, localTokens: [] })
      return
    }
    const user = this.users.get(uid)
    if (!user) return
    if (event.type !== 'UserDeleted') return this.users.set(uid, userAfter(user, event))
    this.users.delete(uid)
    this.goneNames.set(uid, user.name)
    this.names.delete(`User/${user.name}`)
  }

  private applyGroup(event: GroupEvent & Placed): void {
    const { uid } = event
    if (event.type === 'GroupCreated') {
      const { name, members } = event.data
      this.names.set(`Group/${name}`, uid)
      const granted = grantedBy(event)
      this.groups.set(uid, { uid, name, members: new Map(members.map((member) => [member.uid, granted])) })
      this.ownGroups.add(uid)
      for (const member of members) this.groupsOf.add(member.uid, uid)
      return
    }
    const group = this.groups.get(uid)
    if (!group) return
    switch (event.type) {
      case 'GroupMemberAdded':
        this.membersOf(group).set(event.data.uid, grantedBy(event))
        return this.groupsOf.add(event.data.uid, uid)
      case 'GroupMemberRemoved':
        this.membersOf(group).delete(event.data.uid)
        return this.groupsOf.remove(event.data.uid, uid)
      case 'GroupDeleted':
        for (const member of group.members.keys()) this.groupsOf.remove(member, uid)
        this.groups.delete(uid)
        return this.names.delete(`Group/${group.name}`)
      case 'GroupLabelled':
      case 'GroupDescribed':
    }
  }

  /** The members of this layer: copied from the one below when they are first changed. */
  private membersOf(group: GroupFact): Map<string, Granted> {
    if (this.ownGroups.has(group.uid)) return group.members as Map<string, Granted>
    const members = new Map(group.members)
    this.groups.set(group.uid, { ...group, members })
    this.ownGroups.add(group.uid)
    return members
  }

  /** After an entry was granted or revoked: whether the binding names that object still. */
  private nameAgain({ uid, entries }: RbacFact, entry: Entry): void {
    const place = objectOf(entry)
    if (place === undefined) return
    if (entries.some((each) => objectOf(each.entry) === place)) this.rbacsNaming.add(place, uid)
    else this.rbacsNaming.remove(place, uid)
  }

  private forget(rbac: RbacFact | undefined): void {
    for (const { uid } of rbac?.subjects ?? []) this.compiledBySubject.delete(uid)
  }

  private applyRbac(event: RbacEvent & Placed): void {
    const { uid } = event
    if (event.type === 'RbacCreated') return this.createRbac(event)
    const rbac = this.rbacs.get(uid)
    if (!rbac) return
    this.forget(rbac)
    if (event.type === 'RbacDeleted') {
      for (const subject of rbac.subjects) this.rbacsOf.remove(subject.uid, uid)
      for (const place of placesIn(rbac.entries)) this.rbacsNaming.remove(place, uid)
      this.rbacs.delete(uid)
      return this.names.delete(`Rbac/${rbac.name}`)
    }
    const changed = rbacAfter(rbac, event)
    this.rbacs.set(uid, changed)
    this.forget(changed)
    if (event.type === 'RbacEntryGranted' || event.type === 'RbacEntryRevoked') this.nameAgain(changed, event.data)
    if (event.type === 'RbacSubjectAdded') this.rbacsOf.add(event.data.uid, uid)
    if (event.type === 'RbacSubjectRemoved') this.rbacsOf.remove(event.data.uid, uid)
  }

  private createRbac(event: Extract<RbacEvent, { type: 'RbacCreated' }> & Placed): void {
    const { uid, data } = event
    const { name, subjects, bindings, operations } = data
    this.names.set(`Rbac/${name}`, uid)
    const entries = [...bindings, ...operations].map((entry) => ({ entry, ...grantedBy(event) }))
    const rbac = { uid, name, subjects, entries }
    this.rbacs.set(uid, rbac)
    for (const subject of subjects) this.rbacsOf.add(subject.uid, uid)
    for (const place of placesIn(entries)) this.rbacsNaming.add(place, uid)
    this.forget(rbac)
  }
}

const placesIn = (entries: RbacFact['entries']): Set<string> =>
  new Set(entries.flatMap(({ entry }) => objectOf(entry) ?? []))

const isUserEvent = (event: PlacedEvent): event is UserEvent & Placed =>
  /^(User|Password|SetupCode|Token)/.test(event.type)
const isGroupEvent = (event: PlacedEvent): event is GroupEvent & Placed => event.type.startsWith('Group')
