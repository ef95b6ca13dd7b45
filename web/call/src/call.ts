import {
    ConnectionState,
    DisconnectReason,
    RoomEvent,
    Track,
    type BaseKeyProvider,
    type Participant,
    type Room as CallRoom,
    type TrackPublication,
} from "livekit-client";
import type { MatrixClient, Room } from "matrix-js-sdk";
import { connect } from "./connection.ts";
import { askToken, ownTransport } from "./focus.ts";
import { MemberKeys, passwordKeys, secrecyOf, type Secrecy } from "./keys.ts";
import { Membership } from "./membership.ts";
import { Sealed } from "./sealed.ts";

/** One picture (or voice) to show: a participant's camera, or its shared screen. */
export interface Source {
    key: string;
    name: string;
    self: boolean;
    screen: boolean;
    participant: Participant;
    video?: TrackPublication;
    audio?: TrackPublication;
    speaking: boolean;
    /** All that it sends is end-to-end encrypted. */
    encrypted: boolean;
    /** Why there is nothing to see or hear although it is sent; empty if there is. */
    closed: string;
}

/** Options of a call. */
export interface CallOptions {
    password?: string;
    service?: string;
}

/** Why a focus ended our part, in words; of what is not here the connection is to blame. */
const endings: Partial<Record<DisconnectReason, string>> = {
    [DisconnectReason.DUPLICATE_IDENTITY]: "This device joined the call a second time, elsewhere.",
    [DisconnectReason.SERVER_SHUTDOWN]: "The server of the call was stopped.",
    [DisconnectReason.PARTICIPANT_REMOVED]: "You were removed from the call.",
    [DisconnectReason.ROOM_DELETED]: "The call was ended for everybody.",
    [DisconnectReason.JOIN_FAILURE]: "The call does not take you: it may be full.",
};

/**
 * One room's call: our membership, the connection to our own focus, and a listening connection to each other focus that
 * a member publishes on.
 */
export class Call {
    readonly membership: Membership;
    readonly secrecy: Secrecy;
    private keys?: BaseKeyProvider;
    private own?: CallRoom;
    private ownService = "";
    private readonly others = new Map<string, Promise<CallRoom | undefined>>();
    private readonly rooms = new Set<CallRoom>();
    private readonly sealed: Sealed;
    private left = false;

    constructor(
        private readonly client: MatrixClient,
        private readonly room: Room,
        private readonly options: CallOptions,
        private readonly changed: () => void,
        private readonly ended: (why: string) => void,
    ) {
        this.membership = new Membership(client, room);
        this.secrecy = secrecyOf(options.password, room.hasEncryptionStateEvent());
        this.sealed = new Sealed(changed);
    }

    /** Connects, then tells the room that we are in the call. */
    async join(): Promise<void> {
        const transport = await ownTransport(this.client, this.options.service);
        this.ownService = transport.livekit_service_url;
        const ticket = await askToken(this.client, this.ownService, this.room.roomId);
        this.keys = await this.prepareKeys();
        this.own = await connect(ticket, this.keys, (room) => this.watch(room));
        this.own.once(RoomEvent.Disconnected, (why) => {
            if (!this.left) this.ended((why && endings[why]) || "The connection to the call was lost.");
        });
        this.membership.join(transport, this.secrecy === "members");
        this.membership.onChange(() => this.follow());
        this.follow();
    }

    async leave(): Promise<void> {
        this.left = true;
        this.sealed.close();
        await Promise.allSettled([this.membership.leave(), ...[...this.rooms].map((room) => room.disconnect())]);
    }

    get local(): CallRoom {
        if (!this.own) throw new Error("The call is not joined yet.");
        return this.own;
    }

    get reconnecting(): boolean {
        return this.own !== undefined && this.own.state !== ConnectionState.Connected;
    }

    private async prepareKeys(): Promise<BaseKeyProvider | undefined> {
        if (this.options.password !== undefined) return passwordKeys(this.options.password);
        if (this.secrecy === "none") return undefined;
        const keys = new MemberKeys();
        this.membership.onKey((key, index, identity) => void keys.set(key, index, identity));
        return keys;
    }

    /** Everything there is to show, screens first, then ourselves, then the others in order of their coming. */
    sources(): Source[] {
        const found: Source[] = [];
        for (const room of this.rooms) {
            const self = room === this.own;
            for (const participant of [...(self ? [room.localParticipant] : []), ...room.remoteParticipants.values()]) {
                found.push(...this.sourcesOf(participant));
            }
        }
        return found.sort((a, b) => Number(b.screen) - Number(a.screen) || Number(b.self) - Number(a.self));
    }

    private sourcesOf(participant: Participant): Source[] {
        const self = participant.isLocal;
        const name = this.membership.nameOf(participant.identity) ?? participant.name ?? participant.identity;
        const encrypted = participant.isEncrypted;
        const closed = self ? "" : this.whyClosed(participant.identity, name, encrypted);
        const base = { name, self, participant, encrypted, closed };
        const screen = participant.getTrackPublication(Track.Source.ScreenShare);
        const list: Source[] = [
            {
                ...base,
                key: `${participant.identity}/camera`,
                screen: false,
                video: participant.getTrackPublication(Track.Source.Camera),
                audio: participant.getTrackPublication(Track.Source.Microphone),
                speaking: participant.isSpeaking,
            },
        ];
        if (screen) {
            list.push({
                ...base,
                key: `${participant.identity}/screen`,
                screen: true,
                video: screen,
                audio: participant.getTrackPublication(Track.Source.ScreenShareAudio),
                speaking: false,
            });
        }
        return list;
    }

    private whyClosed(identity: string, name: string, encrypted: boolean): string {
        if (!this.keys) return encrypted ? `${name} is encrypted and can't be decrypted: you have no password for this call.` : "";
        switch (this.sealed.why(identity)) {
            case undefined:
                return "";
            case "missing":
                return `${name} can't be decrypted: their key has not come.`;
            case "wrong":
                return `${name} can't be decrypted: the ${this.secrecy === "password" ? "password differs" : "key does not fit"}.`;
        }
    }

    /** Listens on each focus that a member publishes on and that is not ours. */
    private follow(): void {
        const services = this.membership.services();
        for (const service of services) {
            if (service === this.ownService || this.others.has(service)) continue;
            this.others.set(service, this.listen(service));
        }
        for (const [service, connection] of this.others) {
            if (services.has(service)) continue;
            this.others.delete(service);
            void connection.then((room) => room?.disconnect());
        }
        this.changed();
    }

    private async listen(service: string): Promise<CallRoom | undefined> {
        try {
            const ticket = await askToken(this.client, service, this.room.roomId);
            return await connect(ticket, this.keys, (room) => this.watch(room));
        } catch (error) {
            console.warn(`No media from ${service}:`, error);
            return undefined;
        }
    }

    private watch(room: CallRoom): void {
        this.rooms.add(room);
        const redraw = [
            RoomEvent.ParticipantConnected,
            RoomEvent.ParticipantDisconnected,
            RoomEvent.TrackSubscribed,
            RoomEvent.TrackUnsubscribed,
            RoomEvent.TrackMuted,
            RoomEvent.TrackUnmuted,
            RoomEvent.TrackPublished,
            RoomEvent.TrackUnpublished,
            RoomEvent.LocalTrackPublished,
            RoomEvent.LocalTrackUnpublished,
            RoomEvent.ActiveSpeakersChanged,
            RoomEvent.ConnectionStateChanged,
            RoomEvent.ConnectionQualityChanged,
            RoomEvent.TrackStreamStateChanged,
        ] as const;
        for (const event of redraw) room.on(event, this.changed);
        room.on(RoomEvent.EncryptionError, (error: Error, participant?: Participant) => {
            if (participant && !participant.isLocal) this.sealed.failed(participant, error);
        });
        room.on(RoomEvent.ParticipantDisconnected, (participant) => this.sealed.forget(participant.identity));
        room.once(RoomEvent.Disconnected, () => {
            this.rooms.delete(room);
            this.changed();
        });
    }
}
