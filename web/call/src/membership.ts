import type { MatrixClient, Room } from "matrix-js-sdk";
import { MatrixRTCSessionEvent, type MatrixRTCSession } from "matrix-js-sdk/lib/matrixrtc/index.js";
import type { Transport } from "./focus.ts";

/** Our MatrixRTC membership in a room's call, and the foci that the others publish on. */
export class Membership {
    private readonly session: MatrixRTCSession;

    constructor(
        private readonly client: MatrixClient,
        private readonly room: Room,
    ) {
        this.session = client.matrixRTC.getRoomSession(room);
    }

    /** The identity the token door gives this device: legacy memberships use `user:device`. */
    get identity(): string {
        return `${this.client.getUserId()}:${this.client.getDeviceId()}`;
    }

    /**
     * Sends the membership state event and keeps it alive until {@link leave}. With `ownKeys` each member's device gets a
     * key of ours by Olm, a new one when somebody comes or goes.
     */
    join(transport: Transport, ownKeys: boolean): void {
        const userId = this.client.getUserId()!;
        const deviceId = this.client.getDeviceId()!;
        const focus = { ...transport, livekit_alias: this.room.roomId };
        this.session.joinRTCSession({ userId, deviceId, memberId: this.identity }, [focus], focus, {
            callIntent: "video",
            manageMediaKeys: ownKeys,
            delayedLeaveEventDelayMs: 18_000,
            delayedLeaveEventRestartMs: 4_000,
        });
    }

    async leave(): Promise<void> {
        await this.session.leaveRoomSession(3_000);
    }

    /** Service URLs of the members' transports. */
    services(): Set<string> {
        const urls = new Set<string>();
        const oldest = this.session.getOldestMembership();
        for (const member of this.session.memberships) {
            const transport = member.getTransport(oldest ?? member) as Partial<Transport> | undefined;
            if (transport?.type === "livekit" && transport.livekit_service_url) urls.add(transport.livekit_service_url);
        }
        return urls;
    }

    /** The display name of the member with this participant identity, if a membership says who it is. */
    nameOf(identity: string): string | undefined {
        const member = this.session.memberships.find((m) => m.rtcBackendIdentity === identity);
        const userId = member?.userId ?? identity.match(/^(@[^:]+:.+):[^:]+$/)?.[1];
        if (!userId) return undefined;
        return this.room.getMember(userId)?.name ?? userId;
    }

    onChange(listener: () => void): void {
        this.session.on(MatrixRTCSessionEvent.MembershipsChanged, listener);
    }

    /** Tells of each key that a member, or we ourselves, use from now on. */
    onKey(listener: (key: Uint8Array<ArrayBuffer>, index: number, identity: string) => void): void {
        this.session.on(MatrixRTCSessionEvent.EncryptionKeyChanged, (key, index, _member, identity) => listener(key, index, identity));
    }
}
