import { ClientEvent, createClient, MatrixError, SyncState, type MatrixClient, type Room } from "matrix-js-sdk";

/** Where a user is known, and the server that knows it. */
export interface Credentials {
    homeserver: string;
    user: string;
    password: string;
}

/** Logs in with a password. The client does not sync before it enters a room. */
export async function signIn({ homeserver, user, password }: Credentials): Promise<MatrixClient> {
    const baseUrl = await clientAPI(homeserver);
    const anonymous = createClient({ baseUrl });
    const session = await anonymous.loginRequest({
        type: "m.login.password",
        identifier: { type: "m.id.user", user },
        password,
        initial_device_display_name: "Weir call page",
    });
    return createClient({
        baseUrl,
        userId: session.user_id,
        deviceId: session.device_id,
        accessToken: session.access_token,
        timelineSupport: false,
    });
}

/**
 * Joins the room if need be, syncs, and returns the room once its state is here. With `ownKeys`, an encrypted room makes
 * the client a device that takes part in Matrix's encryption; others never load its several megabytes.
 */
export async function enter(client: MatrixClient, room: string, ownKeys: boolean): Promise<Room> {
    const { roomId } = await client.joinRoom(room);
    const crypto = ownKeys && (await isEncrypted(client, roomId));
    // The device ends with the call (signOut), so nothing of it is stored.
    if (crypto) await client.initRustCrypto({ useIndexedDB: false });
    await client.startClient({ initialSyncLimit: 20, lazyLoadMembers: false });
    await synced(client);
    if (crypto) await findable(client);
    return joined(client, roomId);
}

/** Ends the device that {@link signIn} made: nobody need encrypt anything to it any more. */
export async function signOut(client: MatrixClient): Promise<void> {
    await client.logout(true).catch((error) => console.warn("Not signed out:", error));
}

async function isEncrypted(client: MatrixClient, roomId: string): Promise<boolean> {
    try {
        await client.getStateEvent(roomId, "m.room.encryption", "");
        return true;
    } catch (error) {
        if (error instanceof MatrixError && error.errcode === "M_NOT_FOUND") return false;
        throw error;
    }
}

/** Waits until the homeserver gives out our device's keys: before that, members have no way to send us theirs. */
async function findable(client: MatrixClient): Promise<void> {
    const [user, device] = [client.getUserId()!, client.getDeviceId()!];
    for (let tries = 0; tries < 50; tries++) {
        const { device_keys } = await client.downloadKeysForUsers([user]);
        if (device_keys[user]?.[device]) return;
        await new Promise((resolve) => setTimeout(resolve, 200));
    }
    throw new Error("The homeserver does not publish this device's keys.");
}

async function joined(client: MatrixClient, roomId: string): Promise<Room> {
    const known = client.getRoom(roomId);
    if (known?.getMyMembership() === "join") return known;
    return new Promise((resolve) => {
        const look = (): void => {
            const found = client.getRoom(roomId);
            if (found?.getMyMembership() !== "join") return;
            client.off(ClientEvent.Sync, look);
            resolve(found);
        };
        client.on(ClientEvent.Sync, look);
    });
}

function synced(client: MatrixClient): Promise<void> {
    return new Promise((resolve, reject) => {
        const look = (state: SyncState, _previous: SyncState | null, data?: { error?: Error }): void => {
            if (state === SyncState.Prepared || state === SyncState.Syncing) {
                client.off(ClientEvent.Sync, look);
                resolve();
            } else if (state === SyncState.Error) {
                client.off(ClientEvent.Sync, look);
                reject(data?.error ?? new Error("The homeserver does not answer."));
            }
        };
        client.on(ClientEvent.Sync, look);
    });
}

/** The client API of a homeserver given by URL or by server name (client well-known). */
async function clientAPI(homeserver: string): Promise<string> {
    if (/^https?:\/\//.test(homeserver)) return homeserver.replace(/\/+$/, "");
    try {
        const answer = await fetch(`https://${homeserver}/.well-known/matrix/client`);
        const body = (await answer.json()) as { "m.homeserver"?: { base_url?: string } };
        const url = body["m.homeserver"]?.base_url;
        if (url) return url.replace(/\/+$/, "");
    } catch {
        // No well-known is a fair answer: the name itself is tried.
    }
    return `https://${homeserver}`;
}
