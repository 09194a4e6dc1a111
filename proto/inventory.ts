/** What a machine is made of, as its agent saw it. Sizes in bytes. Empty strings are left out. */
export interface Inventory {
  readonly collectedAt: string;
  readonly system: {
    readonly manufacturer?: string;
    readonly product?: string;
    readonly serial?: string;
    readonly uuid?: string;
  };
  readonly firmware: {
    readonly kind: 'bios' | 'uefi';
    readonly vendor?: string;
    readonly version?: string;
    readonly date?: string;
  };
  readonly cpu: {
    readonly model?: string;
    readonly arch: string;
    readonly sockets: number;
    readonly cores: number;
    readonly threads: number;
  };
  readonly memoryBytes: number;
  readonly disks: readonly InventoryDisk[];
  readonly interfaces: readonly InventoryInterface[];
}

export interface InventoryDisk {
  /** /dev/sda */
  readonly device: string;
  /** Names below /dev/disk/by-id as udev makes them, if any. */
  readonly byId?: readonly string[];
  readonly sizeBytes: number;
  readonly logicalBlockBytes: number;
  readonly model?: string;
  readonly vendor?: string;
  readonly serial?: string;
  readonly wwn?: string;
  /** Host, channel, target and unit of a SCSI disk: `0:0:1:0`. */
  readonly hctl?: string;
  readonly rotational: boolean;
  readonly transport?: string;
  /** True for what is made to be taken out; absent otherwise. */
  readonly removable?: boolean;
}

export interface InventoryInterface {
  readonly name: string;
  readonly mac: string;
  readonly driver?: string;
  /** Megabits per second; absent when there is no link. */
  readonly speedMbps?: number;
  readonly hasLink: boolean;
  readonly addresses: readonly string[];
}
