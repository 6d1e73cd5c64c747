import { Column, CreateDateColumn, Entity, Index, PrimaryGeneratedColumn } from 'typeorm';

@Entity('items')
export class Item {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @Index({ unique: true })
  @Column({ length: 60 })
  sku: string;

  @Column({ type: 'int', unsigned: true, default: 0 })
  quantity: number;

  @Column({ type: 'enum', enum: ['shelf', 'pallet'], default: 'shelf' })
  storage: 'shelf' | 'pallet';

  @CreateDateColumn()
  createdAt: Date;
}
