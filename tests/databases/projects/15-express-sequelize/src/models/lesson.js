'use strict';
const { Model } = require('sequelize');

module.exports = (sequelize, DataTypes) => {
  class Lesson extends Model {
    static associate(models) {
      Lesson.belongsTo(models.Course, { foreignKey: 'courseId' });
    }
  }
  Lesson.init(
    {
      title: { type: DataTypes.STRING, allowNull: false },
      courseId: DataTypes.INTEGER,
    },
    { sequelize, modelName: 'Lesson' },
  );
  return Lesson;
};
